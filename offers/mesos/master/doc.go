// Package master holds the messages of the operator API that any node serves for
// the whole cluster.
package master
