package p2p

// Load reads who the node in dir is; ErrNoIdentity as for Stored.
func Load(dir string) (Certificate, error) {
	id, err := loadIdentity(dir)
	if err != nil {
		return Certificate{}, err
	}
	return *id.certificate, nil
}
