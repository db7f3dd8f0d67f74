module.exports = require('fx-leaf') + ' ' + require('@fx/scoped');
