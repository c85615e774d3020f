package estimate

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Model is what was learned beforehand from traces: how far above its present
// use a node's peak may be. It is immutable and may be shared.
type Model struct {
	Made Made `json:"made"`
	// Often and Seldom predict the excess that is exceeded by a twentieth and a
	// hundredth of all peaks.
	Often  Forest `json:"often"`
	Seldom Forest `json:"seldom"`
	// Margins gives by target what to multiply their mixture with. It was found on
	// tasks that the forests had not seen. The lower the target, the higher.
	Margins []Margin `json:"margins"`
}

// Made tells how a model came to be.
type Made struct {
	By    string            `json:"by"`    // command
	Files map[string]string `json:"files"` // SHA-256 by name
	Seeds []uint64          `json:"seeds"`
	Rows  int               `json:"rows"`
}

// Margin is the factor for one target.
type Margin struct {
	Target float64 `json:"target"`
	Factor float64 `json:"factor"`
}

// Forest is a sum of trees.
type Forest struct {
	Base  float64 `json:"base"`
	Trees []Tree  `json:"trees"`
}

// depth of a Tree: few splits, because few events are independent of each other.
const depth = 3

// Tree is complete. A split leads to the first of its two children, at 2i+1 and
// 2i+2, if the feature is at most the cut; one that is not needed leads to its
// first by a cut that nothing exceeds.
type Tree struct {
	Feature [1<<depth - 1]int     `json:"f"`
	Cut     [1<<depth - 1]float32 `json:"c"`
	Leaf    [1 << depth]float32   `json:"l"`
}

// Leaf a description falls into.
func (t *Tree) leaf(x *[featureCount]float64) int {
	i := 0
	for range depth {
		child := 2*i + 1
		if float32(x[t.Feature[i]]) > t.Cut[i] {
			child++
		}
		i = child
	}
	return i - len(t.Cut)
}

// At is the forest's value for a description.
func (f *Forest) At(x *[featureCount]float64) float64 {
	sum := f.Base
	for i := range f.Trees {
		sum += float64(f.Trees[i].Leaf[f.Trees[i].leaf(x)])
	}
	return sum
}

//go:embed weights.json
var weights []byte

// DefaultModel is the one that the package brings along.
func DefaultModel() (*Model, error) { return ParseModel(weights) }

// ParseModel reads a model and checks that it can be used.
func ParseModel(text []byte) (*Model, error) {
	var m Model
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	for _, f := range []*Forest{&m.Often, &m.Seldom} {
		for i := range f.Trees {
			for _, feature := range f.Trees[i].Feature {
				if feature < 0 || feature >= featureCount {
					return nil, fmt.Errorf("weights: tree %d asks for feature %d of %d", i, feature, featureCount)
				}
			}
		}
	}
	if len(m.Margins) == 0 {
		return nil, errors.New("weights: no margins")
	}
	for i, g := range m.Margins {
		if !(g.Target > 0 && g.Target < 1 && g.Factor > 0) {
			return nil, fmt.Errorf("weights: margin %d is %+v", i, g)
		}
		if i > 0 && !(g.Target > m.Margins[i-1].Target && g.Factor <= m.Margins[i-1].Factor) {
			return nil, fmt.Errorf("weights: margin %d does not fall while its target rises", i)
		}
	}
	return &m, nil
}

// least is the smallest excess that is predicted, as a share of what is allocated.
const least = 1e-3

// dampened is by which power margins follow the predicted excess: less than in
// proportion. A tail that is twice as wide is not worth twice the margin: what is
// kept back on a few wild nodes would free more on many calm ones.
const dampened = 0.75

// Excess is the predicted peak beyond the present use for a target, as a share
// of what is allocated, before the margin. It rises as the target falls.
func (m *Model) Excess(x *[featureCount]float64, target float64) float64 {
	often := max(m.Often.At(x), least)
	seldom := max(m.Seldom.At(x), often)
	w := min(max(0.5*math.Log(0.05/target)/math.Log(5), 0), 1)
	return math.Pow(math.Pow(often, 1-w)*math.Pow(seldom, w), dampened)
}

// margin interpolates in the logarithms.
func (m *Model) margin(target float64) float64 {
	first, last := m.Margins[0], m.Margins[len(m.Margins)-1]
	if target <= first.Target {
		return first.Factor
	}
	for i, g := range m.Margins[1:] {
		if target <= g.Target {
			prev := m.Margins[i]
			part := math.Log(target/prev.Target) / math.Log(g.Target/prev.Target)
			return math.Exp(math.Log(prev.Factor) + part*math.Log(g.Factor/prev.Factor))
		}
	}
	return last.Factor
}
