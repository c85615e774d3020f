package registry

import "fmt"

// answer is an error in the words in which operators know it from Mesos.
type answer string

func (a answer) Error() string { return string(a) }

func answerf(format string, args ...any) error { return answer(fmt.Sprintf(format, args...)) }
