module.exports = 'leaf 1.1.0';
