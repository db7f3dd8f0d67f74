let found = 'none';
try { found = require('fx-platform-linux-x64'); } catch {}
module.exports = found;
