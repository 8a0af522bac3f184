package statemachine_test

// refreshTokens is what decides which refresh token may be sent. begins and ends write it, with each
// token request that sends one; what brings another token ends the doubt.
type refreshTokens struct {
	doubt string // the one that a fault may have used up; "": none
	spare string // Refresh's own, after a stored one was refused: "", sparing or spared
}

// States of Refresh's own refresh token, which it sends once more where a stored one is refused,
// until it has an answer.
const (
	sparing = "sent"
	spared  = "answered"
)

// sends checks that a refresh token has not been used with success.
func (r *run) sends(token string) {
	w, g := r.w, r.w.grants[token]
	if g == nil {
		w.fail(noReuse, "%s: refresh token %q, which was not issued", r.name, token)
		return
	}
	refused := r.exchange.requests > 1 && r.exchange.result == refusing
	spare := token == r.config && g.spentBy != r &&
		(r.refresh.spare == sparing || r.refresh.spare == "" && refused)
	if spare {
		r.refresh.spare = sparing
	}
	mine, shared := g.spentBy == r, g.spentBy != nil && w.store != nil && !w.store.failed
	if !spare && (mine || shared) {
		w.fail(noReuse, "%s: %s was used with success by %s", r.name, token, g.spentBy.name)
	}
}
