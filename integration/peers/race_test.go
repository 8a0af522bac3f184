//go:build race

package peers

// The race detector makes all this several times as slow, and looks for nothing that a second run would show.
const thorough = false
