// Package p2p lets the nodes of one cluster, and nobody else, speak to each
// other. A Mesh owns the node's identity, its connections, the streams over
// them and the Directory of who is there and who leads. It proves membership by
// certificates that the cluster's own authority signed, finds peers, keeps
// connected with them, and admits those who hold a join token.
//
// It knows nothing of Mesos, of Raft, or of what the streams carry, and it never
// decides who leads: it tells.
package p2p
