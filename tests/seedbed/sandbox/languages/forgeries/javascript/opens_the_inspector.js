require('inspector').open(9229, '127.0.0.1', true);
