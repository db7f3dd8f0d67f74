module.exports = require('fs').existsSync(__dirname + '/built-post');
