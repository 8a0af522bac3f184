//go:build race

package stores

// thorough is false, for the same tests with fewer programs and shorter.
const thorough = false
