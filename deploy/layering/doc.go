// Package layering holds the test that keeps the folders honest: what may import
// what, what the core may use, and who alone imports the large libraries.
package layering
