module.exports = 'scoped with ' + require('fx-leaf');
