require('fs').writeFileSync('built-' + process.argv[2], process.env.npm_lifecycle_event + '\n');
