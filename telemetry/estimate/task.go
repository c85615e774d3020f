package estimate

// task is what a Node remembers of one task.
type task struct {
	id    string
	born  int64 // number of the step in which it was first seen
	kinds [Kinds]usage
	seen  bool // in the latest samples
}

// usage is one resource of a task.
type usage struct {
	limit float64
	past  window // one value a step
	week  peaks  // the highest of every few steps
	age   int    // steps since the first measurement
	blind int    // steps since the latest

	// The step under way.
	sum   float64
	count int
	now   float64 // the latest measurement
}

func (u *usage) observe(used, limit float64) {
	u.limit = 0
	if measured(limit) {
		u.limit = limit
	}
	if measured(used) {
		u.sum += used
		u.count++
		u.now = used
	}
}

// close ends a step. What was not measured in it is taken to be as before, for
// as long as it was not measured for longer than a task needs to warm up.
func (u *usage) close() {
	switch {
	case u.count > 0:
		u.push(u.sum / float64(u.count))
		u.age++
		u.blind = 0
	case u.past.len() > 0:
		u.push(u.past.last())
		u.age++
		u.blind++
	}
	u.sum, u.count = 0, 0
}

func (u *usage) push(v float64) {
	u.past.push(v)
	u.week.push(v)
}

// level is the mean of the step under way, as far as it is known.
func (u *usage) level() float64 {
	switch {
	case u.count > 0:
		return u.sum / float64(u.count)
	case u.past.len() > 0:
		return u.past.last()
	}
	return 0
}

// cold tells whether too little is known of the task to predict from.
func (u *usage) cold(warm int) bool {
	return u.age < warm || u.blind > warm || u.past.len() == 0
}
