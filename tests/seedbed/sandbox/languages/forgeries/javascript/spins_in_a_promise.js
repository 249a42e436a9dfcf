const spin = () => Promise.resolve().then(spin); spin();
