package isolate

// SandboxPath is where a container finds its sandbox, which is also its
// working directory; tasks are told in MESOS_SANDBOX.
const SandboxPath = "/mnt/mesos/sandbox"
