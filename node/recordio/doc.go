// Package recordio frames the messages of Mesos's streaming APIs: each record
// is its length in decimal, a line feed, and that many bytes. It knows nothing
// of what the records hold.
package recordio
