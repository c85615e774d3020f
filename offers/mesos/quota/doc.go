// Package quota holds the messages that say what roles are guaranteed and limited to.
package quota
