// Package e2e tests the built program as its users meet it: real daemons as
// processes, real containers, third-party clients, kills. It needs bin/muster
// and bin/clients, which `make test` builds first.
package e2e
