//go:build race

package session

// The race detector makes programs start and run several times as slowly.
const thorough = false
