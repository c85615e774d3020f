// Package allocator holds frameworks' answers to inverse offers, as the operator
// API shows them.
package allocator
