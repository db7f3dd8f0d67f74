module.exports = 'peer sees ' + require('fx-leaf');
