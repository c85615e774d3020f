// Command muster-shim is the parent of one container. It is not for people: muster
// carries it inside itself and starts one beside every task.
package main
