exports.name = 'a';
exports.b = require('fx-cycle-b');
