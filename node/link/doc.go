// Package link carries protocol messages between a node and whoever leads: an
// agent's, a gateway's, and the view's. A link is ordered, fenced by the leader's
// term, and bounded: a side too slow for its queue loses the link and starts
// again. On the leader's own node a link is a pair of queues, without a stream.
//
// It knows neither the mesh nor the core: streams are handed in, and a Port takes
// them at the leader. It never keeps a message over a link's end.
package link
