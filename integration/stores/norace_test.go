//go:build !race

package stores

const thorough = true
