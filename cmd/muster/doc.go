// Command muster is a node of a cluster and its command line: `muster daemon`
// runs a node, every other command founds, joins, asks or uses a cluster.
package main
