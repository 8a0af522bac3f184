//go:build !race

package peers

const thorough = true
