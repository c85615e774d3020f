package offers

import "fmt"

// answer is an error whose text goes to a framework as it is: clients and their
// users know Mesos's wording.
type answer string

func (a answer) Error() string { return string(a) }

func answerf(format string, args ...any) error { return answer(fmt.Sprintf(format, args...)) }
