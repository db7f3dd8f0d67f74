module.exports = require('fx-inside');
