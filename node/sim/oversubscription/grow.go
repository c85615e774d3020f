package oversubscription

import (
	"math"
	"slices"

	"muster/telemetry/estimate"
)

// How forests are grown. There are many rows and few events in them that are
// independent of each other: an hour's predictions fall short together, and the
// same tasks are seen on many machines. So trees are few, shallow and their
// leaves large.
const (
	treeCount  = 60
	treeDepth  = 3
	learnRate  = 0.1
	leafShare  = 30 // a leaf holds at least one of so many rows
	cutsByAxis = 48
)

// table holds rows for growing: descriptions by column, in bins, and what was to
// be predicted.
type table struct {
	bins [][]uint8   // by feature, then row
	cuts [][]float32 // by feature: the upper bound of each bin but the last
	want []float64
}

func newTable(rows []example) *table {
	t := &table{want: make([]float64, len(rows))}
	for i := range rows {
		t.want[i] = rows[i].excess
	}
	for f := range rows[0].outlook.Features {
		column := make([]float32, len(rows))
		for i := range rows {
			column[i] = float32(rows[i].outlook.Features[f])
		}
		sorted := slices.Clone(column)
		slices.Sort(sorted)
		var cuts []float32
		for b := 1; b < cutsByAxis; b++ {
			if c := sorted[b*len(sorted)/cutsByAxis]; len(cuts) == 0 || c > cuts[len(cuts)-1] {
				cuts = append(cuts, c)
			}
		}
		bins := make([]uint8, len(rows))
		for i, v := range column {
			at, _ := slices.BinarySearch(cuts, v)
			bins[i] = uint8(at)
		}
		t.cuts, t.bins = append(t.cuts, cuts), append(t.bins, bins)
	}
	return t
}

// grower grows one forest for a quantile: each tree splits by the gradient of the
// pinball loss, and each leaf moves by the quantile of what is left in it.
type grower struct {
	*table
	quantile  float64
	predicted []float64
	gradient  []float64
	tree      *estimate.Tree
}

func grow(t *table, quantile float64) estimate.Forest {
	g := &grower{table: t, quantile: quantile, predicted: make([]float64, len(t.want)), gradient: make([]float64, len(t.want))}
	forest := estimate.Forest{Base: rounded(quantileOf(slices.Clone(t.want), quantile))}
	for i := range g.predicted {
		g.predicted[i] = forest.Base
	}
	for range treeCount {
		rows := make([]int32, len(t.want))
		for i := range rows {
			rows[i] = int32(i)
			g.gradient[i] = quantile - 1
			if t.want[i] > g.predicted[i] {
				g.gradient[i] = quantile
			}
		}
		g.tree = &estimate.Tree{}
		g.split(0, rows)
		forest.Trees = append(forest.Trees, *g.tree)
	}
	return forest
}

// split grows what is below a node of the tree, or the leaf there.
func (g *grower) split(node int, rows []int32) {
	if splits := len(g.tree.Cut); node >= splits {
		g.tree.Leaf[node-splits] = g.leaf(rows)
		return
	}
	feature, bin, ok := g.best(rows)
	if !ok { // all go to the first child
		g.tree.Cut[node] = math.MaxFloat32
		g.split(2*node+1, rows)
		return
	}
	g.tree.Feature[node], g.tree.Cut[node] = feature, g.cuts[feature][bin]
	low, high := 0, len(rows)
	for low < high {
		if int(g.bins[feature][rows[low]]) <= bin {
			low++
			continue
		}
		high--
		rows[low], rows[high] = rows[high], rows[low]
	}
	g.split(2*node+1, rows[:low])
	g.split(2*node+2, rows[low:])
}

// leaf moves the rows' predictions towards their quantile.
func (g *grower) leaf(rows []int32) float32 {
	left := make([]float64, len(rows))
	for i, r := range rows {
		left[i] = g.want[r] - g.predicted[r]
	}
	move := float32(rounded(learnRate * quantileOf(left, g.quantile)))
	for _, r := range rows {
		g.predicted[r] += float64(move)
	}
	return move
}

// best finds the split that tells most about where predictions fall short.
func (g *grower) best(rows []int32) (feature, bin int, ok bool) {
	least := len(g.want) / leafShare
	if len(rows) < 2*least {
		return 0, 0, false
	}
	total := 0.0
	for _, r := range rows {
		total += g.gradient[r]
	}
	count := float64(len(rows))
	most := total*total/count + 1e-6*count
	for f, bins := range g.bins {
		var sums [cutsByAxis]float64
		var counts [cutsByAxis]int
		for _, r := range rows {
			sums[bins[r]] += g.gradient[r]
			counts[bins[r]]++
		}
		sum, n := 0.0, 0
		for b := range g.cuts[f] {
			sum += sums[b]
			n += counts[b]
			if n < least || len(rows)-n < least {
				continue
			}
			gain := sum*sum/float64(n) + (total-sum)*(total-sum)/(count-float64(n))
			if gain > most {
				most, feature, bin, ok = gain, f, b, true
			}
		}
	}
	return feature, bin, ok
}

// quantileOf sorts a list and returns its smallest value that at least the share
// q of all do not exceed.
func quantileOf(list []float64, q float64) float64 {
	slices.Sort(list)
	return list[max(0, int(math.Ceil(q*float64(len(list))))-1)]
}

// rounded keeps six digits: the file of weights is read by people too.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
