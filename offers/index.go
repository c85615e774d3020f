package offers

// index finds what has a key in common. It stands where an event would else have
// to look at every agent or framework there is to find the few that it concerns.
type index[K, V comparable] map[K]map[V]bool

func (x index[K, V]) add(key K, v V) {
	if x[key] == nil {
		x[key] = map[V]bool{}
	}
	x[key][v] = true
}

func (x index[K, V]) remove(key K, v V) {
	if delete(x[key], v); len(x[key]) == 0 {
		delete(x, key)
	}
}
