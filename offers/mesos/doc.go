// Package mesos holds the messages of the Mesos v1 API, generated from the
// .proto files beside it, and their JSON form as Mesos's clients know it. It is
// muster's only vocabulary for offers, tasks, agents and frameworks.
package mesos

//go:generate sh ../generate.sh
