// Package p2ptest makes clusters of real meshes inside one test: libp2p over
// TCP on 127.0.0.1, with random ports, without multicast DNS.
package p2ptest
