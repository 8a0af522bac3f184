//go:build !race

package session

const thorough = true
