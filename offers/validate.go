package offers

import (
	"fmt"

	"muster/offers/mesos/scheduler"
)

// ValidateCall checks what can be known of a call without any state. The text of
// its error is what Mesos puts behind "Failed to validate scheduler::Call: ".
// Mesos: src/master/validation.cpp, scheduler::call::validate.
func ValidateCall(call *scheduler.Call) error {
	if call.GetType() == scheduler.Call_UNKNOWN {
		return fmt.Errorf("Expecting 'type' to be present")
	}
	return nil
}
