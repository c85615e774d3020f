// Package isolate runs tasks in containers. A Spec says what one container may
// see and use; a Driver makes it so. Every verb can be repeated: a daemon that
// was killed between two of them does them again.
package isolate
