package isolate

// Control changes containers while they run. Its verbs can be repeated, also by
// a later daemon that does not know what an earlier one did. A container that
// has ended takes them without effect.
type Control interface {
	// LimitCPU caps the CPUs that the container may keep busy. +Inf is back to
	// the limit it was started with, or none.
	LimitCPU(id ID, cpus float64) error
	// Freeze stops all processes of the container where they are. They keep
	// their memory. A signal that ends a container thaws it.
	Freeze(id ID) error
	Thaw(id ID) error
}
