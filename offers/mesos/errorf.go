package mesos

import "fmt"

// Error is an error whose text goes to clients as it is: they and their users know
// Mesos's wording.
type Error string

func (e Error) Error() string { return string(e) }

// Errorf returns an Error.
func Errorf(format string, args ...any) error { return Error(fmt.Sprintf(format, args...)) }
