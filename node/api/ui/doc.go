// Package ui is the page that a node shows at its address: the cluster at a
// glance, drawn in the browser from the same endpoints that tools read.
package ui
