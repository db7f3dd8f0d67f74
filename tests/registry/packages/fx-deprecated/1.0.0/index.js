module.exports = 'old';
