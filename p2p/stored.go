package p2p

// Stored is the membership of the node in dir, whether it runs or not. It says
// ErrNoIdentity if the node is a member of no cluster.
func Stored(dir string) (Membership, error) {
	id, err := loadIdentity(dir)
	if err != nil {
		return Membership{}, err
	}
	return id.Membership, nil
}
