// Package client speaks the Mesos v1 API of a node: frameworks' sessions,
// operators' calls and event streams, and muster's own JSON and files. The
// command line and the tests are built on it. A call is sent once; whether to
// connect again is the caller's to decide, except in Run, which keeps a
// framework subscribed.
package client
