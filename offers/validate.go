package offers

import (
	"strings"

	"muster/offers/mesos/scheduler"
)

// ValidateCall checks what can be known of a call without any state. The text of
// its error is what Mesos puts behind "Failed to validate scheduler::Call: ".
// Mesos: src/master/validation.cpp, scheduler::call::validate.
func ValidateCall(call *scheduler.Call) error {
	if call == nil || call.Type == nil {
		return answer("Expecting 'type' to be present")
	}
	if call.GetType() == scheduler.Call_SUBSCRIBE {
		if call.Subscribe == nil {
			return absent("subscribe")
		}
		if call.GetSubscribe().GetFrameworkInfo() == nil {
			return absent("subscribe.framework_info")
		}
		if call.GetSubscribe().GetFrameworkInfo().GetId().GetValue() != call.GetFrameworkId().GetValue() {
			return answer("'framework_id' differs from 'subscribe.framework_info.id'")
		}
		return tooMany("subscribe.suppressed_roles", len(call.GetSubscribe().GetSuppressedRoles()), maxRoles)
	}
	if call.FrameworkId == nil {
		return absent("framework_id")
	}
	return validatePayload(call)
}

func absent(field string) error { return answerf("Expecting '%s' to be present", field) }

// payload says whether a call carries what its type asks for, and how that is named.
func payload(call *scheduler.Call) (name string, present bool) {
	switch call.GetType() {
	case scheduler.Call_ACCEPT:
		return "accept", call.Accept != nil
	case scheduler.Call_DECLINE:
		return "decline", call.Decline != nil
	case scheduler.Call_ACCEPT_INVERSE_OFFERS:
		return "accept_inverse_offers", call.AcceptInverseOffers != nil
	case scheduler.Call_DECLINE_INVERSE_OFFERS:
		return "decline_inverse_offers", call.DeclineInverseOffers != nil
	case scheduler.Call_KILL:
		return "kill", call.Kill != nil
	case scheduler.Call_SHUTDOWN:
		return "shutdown", call.Shutdown != nil
	case scheduler.Call_ACKNOWLEDGE:
		return "acknowledge", call.Acknowledge != nil
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		return "acknowledge_operation_status", call.AcknowledgeOperationStatus != nil
	case scheduler.Call_RECONCILE:
		return "reconcile", call.Reconcile != nil
	case scheduler.Call_RECONCILE_OPERATIONS:
		return "reconcile_operations", call.ReconcileOperations != nil
	case scheduler.Call_MESSAGE:
		return "message", call.Message != nil
	case scheduler.Call_REQUEST:
		return "request", call.Request != nil
	case scheduler.Call_UPDATE_FRAMEWORK:
		return "update_framework", call.UpdateFramework != nil
	}
	return "", true // TEARDOWN, REVIVE, SUPPRESS and what is not known need none
}

func validatePayload(call *scheduler.Call) error {
	if name, present := payload(call); !present {
		return absent(name)
	}
	switch call.GetType() {
	case scheduler.Call_ACKNOWLEDGE:
		return validateUUID(call.GetAcknowledge().GetUuid())
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		if err := validateUUID(call.GetAcknowledgeOperationStatus().GetUuid()); err != nil {
			return err
		}
		if call.GetAcknowledgeOperationStatus().AgentId == nil {
			return absent("agent_id")
		}
	case scheduler.Call_ACCEPT:
		return validateAccept(call.GetAccept())
	case scheduler.Call_SUPPRESS:
		return tooMany("suppress.roles", len(call.GetSuppress().GetRoles()), maxRoles)
	case scheduler.Call_REVIVE:
		return tooMany("revive.roles", len(call.GetRevive().GetRoles()), maxRoles)
	case scheduler.Call_REQUEST:
		return validateRequests(call.GetRequest())
	case scheduler.Call_UPDATE_FRAMEWORK:
		info := call.GetUpdateFramework().GetFrameworkInfo()
		if info == nil {
			return absent("update_framework.framework_info")
		}
		if info.GetId().GetValue() != call.GetFrameworkId().GetValue() {
			return answer("'framework_id' differs from 'update_framework.framework_info.id'")
		}
		return tooMany("update_framework.suppressed_roles", len(call.GetUpdateFramework().GetSuppressedRoles()), maxRoles)
	}
	return nil
}

// Bounds of what one framework says, so that no call keeps the core from the others.
// Mesos has none.
const (
	maxRoles         = 1000    // that it has, and that one call names
	maxMinimums      = 100     // of each role
	maxFrameworkInfo = 1 << 20 // bytes: the registry keeps it
)

func tooMany(field string, n, most int) error {
	if n > most {
		return answerf("'%s' has %d elements; at most %d are taken", field, n, most)
	}
	return nil
}

// validateUUID checks the raw form of a UUID.
func validateUUID(b []byte) error {
	if len(b) != 16 {
		return answerf("Invalid UUID: Expected 16 bytes, but received %d", len(b))
	}
	return nil
}

// maxID is how long an ID may be: IDs become file names.
const maxID = 255

// validateID checks an ID that a framework chose.
// Mesos: src/common/validation.cpp, validateID.
func validateID(id string) error {
	switch {
	case id == "":
		return answer("ID must not be empty")
	case len(id) > maxID:
		return answerf("ID must not be greater than %d characters", maxID)
	case id == "." || id == "..":
		return answerf("'%s' is disallowed", id)
	case strings.ContainsFunc(id, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '/' || r == '\\' }):
		return answerf("'%s' contains invalid characters", id)
	}
	return nil
}
