package mesos

// Terminal reports whether a task in this state has ended for good.
func (x TaskState) Terminal() bool {
	switch x {
	case TaskState_TASK_FINISHED, TaskState_TASK_FAILED, TaskState_TASK_KILLED, TaskState_TASK_ERROR,
		TaskState_TASK_LOST, TaskState_TASK_DROPPED, TaskState_TASK_GONE, TaskState_TASK_GONE_BY_OPERATOR:
		return true
	}
	return false
}

// Terminal reports whether an operation in this state has ended for good.
func (x OperationState) Terminal() bool {
	switch x {
	case OperationState_OPERATION_FINISHED, OperationState_OPERATION_FAILED, OperationState_OPERATION_ERROR,
		OperationState_OPERATION_DROPPED, OperationState_OPERATION_GONE_BY_OPERATOR:
		return true
	}
	return false
}
