// Package maintenance holds the messages of maintenance schedules.
package maintenance
