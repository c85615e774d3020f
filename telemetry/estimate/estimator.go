package estimate

// An Estimator predicts from what a Node remembers. One that learns belongs to
// one node and is asked once after each step.
type Estimator interface {
	// Predict returns what the tasks that are on the node now will use at most,
	// all together, within the horizon. It is at least what they use now and at
	// most what they were allocated.
	Predict(n *Node) Amounts
}

// each predicts every resource by itself and holds it to the bounds.
func (n *Node) each(predict func(k Kind) float64) Amounts {
	var out Amounts
	for k := range Kinds {
		limit := n.Limit(k)
		out[k] = clip(predict(k), min(n.Used(k), limit), limit)
	}
	return out
}
