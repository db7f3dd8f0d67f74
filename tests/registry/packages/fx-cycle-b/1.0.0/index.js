exports.name = 'b';
exports.a = require('fx-cycle-a');
